#!/usr/bin/env bash
# django-idempotency-key does the work twice if the repetition comes before the first is done,
# although it locks.
#
# Installs: django-idempotency-key 1.3.0, Django 4.2.26, djangorestframework 3.15.2. From PyPI.
# Needs python3 with venv.
#
# Expected: of two requests with one key, one is done. The README has a setting LOCK, on by default,
# "to ensure that multiple threads do not try to call the same view/viewset method at the same
# time", with a warning that duplicate calls may occur where it is switched off, and 423 (Locked)
# for a request that has waited for too long.
#
# What happens: the lock is held while the key is looked up, and released before the view runs; the
# key is stored after the view has answered. A second request that comes meanwhile finds nothing,
# and runs the view as well. Both are answered with 201. It is the same for any lock class, as the
# place where the lock is taken is the same. (Pull request 61 of yoyowallet/django-idempotency-key,
# open, describes this.) Only a request that comes after the answer is recognized: it gets the first
# answer, with the status 409 unless `CONFLICT_STATUS_CODE` is None.
#
# Why it matters: a sender repeats when it has waited for too long, and then the first request is
# still at work more often than not. Just the repetitions of an outbox that follow a timeout are
# done twice, under one key. What a service must not do twice needs the key as a unique column, in
# the transaction of the work.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    django-idempotency-key==1.3.0 Django==4.2.26 djangorestframework==3.15.2
cat >"$folder/check.py" <<'PY'
import threading
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version

import django
from django.conf import settings

# Only the middleware; LOCK and STORAGE are the library's defaults.
settings.configure(
    ROOT_URLCONF=__name__,
    MIDDLEWARE=["idempotency_key.middleware.IdempotencyKeyMiddleware"],
    CACHES={"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}},
)
django.setup()

from django.http import JsonResponse
from django.test import Client
from django.urls import path

print("django-idempotency-key", version("django-idempotency-key"), "on Django", version("Django"))
done = []
both_inside = threading.Barrier(2)


def order(request):
    """The work of this view takes until another request is inside, or five seconds."""
    if request.GET.get("slow"):
        try:
            both_inside.wait(5)
        except threading.BrokenBarrierError:
            pass
    done.append(request.headers["Idempotency-Key"])
    return JsonResponse({"order": len(done)}, status=201)


urlpatterns = [path("orders", order)]
# One middleware for all requests, as in a server with threads.
client = Client()
client.get("/")


def post(key, query=""):
    """Status and content; the stored answer is changed later."""
    answer = client.post(f"/orders{query}", HTTP_IDEMPOTENCY_KEY=key)
    return answer.status_code, answer.json()


answers = [post("a"), post("a")]
assert done == ["a"], "control: a repetition after the answer runs nothing"
assert answers == [(201, {"order": 1}), (409, {"order": 1})], answers
print("one after the other: done once, answered", answers)

with ThreadPoolExecutor(2) as threads:
    answers = list(threads.map(lambda _: post("b", "?slow=1"), range(2)))
times = done.count("b")
print("at the same time: done", times, "times, answered", answers)
assert times == 2, "changed: the work is done once"
assert [status for status, _ in answers] == [201, 201], "changed: one is refused"
PY
timeout 60 "$folder/venv/bin/python" "$folder/check.py"

// Reads the page again when the outbox changes: at most once a second, and not while the page is
// hidden, while a form is in use, or after the button was pressed. The pages work without it.
"use strict";
(() => {
  const PAUSE = 1000;
  const AGAIN = 5000;
  const state = document.getElementById("live");
  const toggle = document.getElementById("live-toggle");
  const main = document.getElementById("main");
  const address = document.body.dataset.live;
  if (!state || !toggle || !main || !address || !window.EventSource) return;

  let source = null;
  let isStopped = false;
  let isConnected = false;
  let wasConnected = false;
  let isTurnedAway = false;
  let isStale = false;
  let isReading = false;
  let last = 0;
  let timer = 0;
  let again = 0;

  const isInForm = () => {
    const active = document.activeElement;
    return Boolean(active && active !== document.body && active.closest("#main form"));
  };

  const tell = () => {
    let text = "Updates: disconnected";
    if (isStopped || isTurnedAway || document.hidden || isInForm()) text = "Updates: paused";
    else if (isConnected) text = "Updates: live";
    if (state.textContent !== text) state.textContent = text;
    toggle.textContent = isStopped ? "Resume updates" : "Pause updates";
  };

  const close = () => {
    clearTimeout(again);
    if (source) source.close();
    source = null;
    isConnected = false;
    isTurnedAway = false;
  };

  const open = () => {
    close();
    if (isStopped || document.hidden) return;
    source = new EventSource(address);
    source.addEventListener("hello", () => {
      isConnected = true;
      isTurnedAway = false;
      // Changes while it was away were told to nobody.
      if (wasConnected) isStale = true;
      wasConnected = true;
      tell();
      schedule();
    });
    // Other windows of this browser have as many streams as it may have. It asks again by itself.
    source.addEventListener("busy", () => { isTurnedAway = true; wasConnected = true; tell(); });
    source.addEventListener("change", () => { isStale = true; schedule(); });
    source.addEventListener("error", () => {
      isConnected = false;
      tell();
      // After some answers a browser never tries again by itself.
      if (source && source.readyState === EventSource.CLOSED) {
        clearTimeout(again);
        again = setTimeout(() => { isStale = true; open(); schedule(); }, AGAIN);
      }
    });
  };

  const schedule = () => {
    if (timer || isReading || !isStale || isStopped || document.hidden || isInForm()) return;
    timer = setTimeout(read, Math.max(0, last + PAUSE - Date.now()));
  };

  const read = async () => {
    timer = 0;
    if (isReading || isStopped || document.hidden || isInForm()) return;
    isReading = true;
    isStale = false;
    last = Date.now();
    try {
      const answer = await fetch(location.href, { credentials: "same-origin", cache: "no-store" });
      if (!answer.ok) throw new Error(String(answer.status));
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const fresh = page.getElementById("main");
      if (!fresh) throw new Error("no page");
      if (isInForm() || isStopped) isStale = true;
      else swap(fresh);
    } catch {
      isConnected = false;
      isStale = true;
      last = Date.now() + AGAIN - PAUSE;
    }
    isReading = false;
    tell();
    schedule();
  };

  // Keeps the focus and what was folded.
  const swap = (fresh) => {
    if (fresh.innerHTML === main.innerHTML) return;
    const focused = document.activeElement;
    const links = (root) => Array.from(root.querySelectorAll("a, button, summary, [tabindex]"));
    const place = main.contains(focused) ? links(main).indexOf(focused) : -1;
    const href = place >= 0 ? focused.getAttribute("href") : null;
    const folded = Array.from(main.querySelectorAll("details")).map((it) => it.open);
    const scrolled = Array.from(main.querySelectorAll(".scroll")).map((it) => it.scrollLeft);
    main.replaceChildren(...Array.from(fresh.childNodes, (node) => document.importNode(node, true)));
    main.querySelectorAll("details").forEach((it, index) => { if (index in folded) it.open = folded[index]; });
    main.querySelectorAll(".scroll").forEach((it, index) => { it.scrollLeft = scrolled[index] || 0; });
    if (place >= 0) {
      const now = links(main);
      const same = href === null ? undefined : now.find((it) => it.getAttribute("href") === href);
      const target = same || now[place];
      if (target) target.focus({ preventScroll: true });
    }
  };

  toggle.hidden = false;
  toggle.addEventListener("click", () => {
    isStopped = !isStopped;
    if (isStopped) close();
    else { isStale = true; open(); schedule(); }
    tell();
  });
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) close();
    else { isStale = true; open(); schedule(); }
    tell();
  });
  main.addEventListener("focusin", tell);
  main.addEventListener("focusout", () => setTimeout(() => { tell(); schedule(); }, 0));
  window.addEventListener("pagehide", close);
  window.addEventListener("pageshow", (event) => { if (event.persisted) { isStale = true; open(); schedule(); } });
  open();
  tell();
})();

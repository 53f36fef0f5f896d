//! The session: what ends it, what does not, and that a refresh token is used only once.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests, too")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use fitiq_core::{Service, ServiceUrl, Session, SessionError};
use outbox_runtime::SqliteStore;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;

/// A service whose refresh tokens are numbers: only the last one is valid.
#[derive(Default)]
struct Tokens {
    given: AtomicUsize,
    asked: AtomicUsize,
    down: std::sync::atomic::AtomicBool,
}

type Answer = (StatusCode, Json<Value>);

impl Tokens {
    fn pair(&self) -> Answer {
        let number = self.given.fetch_add(1, Ordering::SeqCst) + 1;
        let refresh = number.to_string();
        let pair = json!({"access_token": format!("a-{number}"), "refresh_token": refresh, "user_id": "user-1"});
        (StatusCode::OK, Json(json!({"data": pair})))
    }

    fn refresh(&self, spent: &str) -> Answer {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let (down, last) = (
            self.down.load(Ordering::SeqCst),
            self.given.load(Ordering::SeqCst),
        );
        match spent {
            _ if down => (StatusCode::BAD_GATEWAY, Json(Value::Null)),
            spent if spent == last.to_string() => self.pair(),
            _ => {
                let message = "refresh token has been revoked";
                (
                    StatusCode::UNAUTHORIZED,
                    Json(json!({"error": {"message": message}})),
                )
            }
        }
    }
}

struct Scene {
    folder: TempDir,
    tokens: Arc<Tokens>,
    url: ServiceUrl,
    server: tokio::task::JoinHandle<()>,
}

impl Scene {
    async fn new() -> Self {
        let tokens = Arc::new(Tokens::default());
        let router = Router::new()
            .route(
                "/api/v1/auth/login",
                post(async |tokens: State<Arc<Tokens>>| tokens.pair()),
            )
            .route(
                "/api/v1/auth/refresh",
                post(async |tokens: State<Arc<Tokens>>, body: Json<Value>| {
                    tokens.refresh(body["refresh_token"].as_str().unwrap())
                }),
            )
            .with_state(Arc::clone(&tokens));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap())
            .parse()
            .unwrap();
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let folder = tempfile::tempdir().unwrap();
        Self {
            folder,
            tokens,
            url,
            server,
        }
    }

    /// The session as a new process opens it.
    async fn session(&self) -> Session {
        let store = SqliteStore::open(self.folder.path().join("app.db"))
            .await
            .unwrap();
        let service = Service::new(self.url.clone(), "key").unwrap();
        Session::open(&store, service).await.unwrap()
    }

    async fn signed_in(&self) -> Session {
        let session = self.session().await;
        session.sign_in("ada@example.org", "secret").await.unwrap();
        session
    }

    fn asked(&self) -> usize {
        self.tokens.asked.load(Ordering::SeqCst)
    }
}

/// Failure 39.
#[tokio::test]
async fn many_refused_calls_use_one_refresh_token_once() {
    let scene = Scene::new().await;
    let session = Arc::new(scene.signed_in().await);
    let refreshes = (0..20).map(|_| {
        let session = Arc::clone(&session);
        async move { session.refresh("user-1").await }
    });
    let done: Vec<_> = refreshes.map(tokio::spawn).collect();
    for refresh in done {
        refresh.await.unwrap().unwrap();
    }
    assert!(session.user().is_some(), "no refresh was refused");
    // On a single-threaded runtime all of them ask before the first answer.
    assert_eq!(scene.asked(), 1);
}

#[tokio::test]
async fn a_new_pair_is_on_disk_and_the_next_process_goes_on_with_it() {
    let scene = Scene::new().await;
    scene.signed_in().await.refresh("user-1").await.unwrap();
    let next = scene.session().await;
    assert_eq!(next.user().unwrap().as_str(), "user-1");
    assert_eq!(next.email().as_deref(), Some("ada@example.org"));
    next.refresh("user-1").await.unwrap();
}

#[tokio::test]
async fn tokens_of_another_process_are_used() {
    let scene = Scene::new().await;
    let (first, second) = (scene.signed_in().await, scene.session().await);
    first.refresh("user-1").await.unwrap();
    second.refresh("user-1").await.unwrap();
    assert_eq!(scene.asked(), 1);
}

/// Failure 21: any error of a refresh, being offline too, deleted the token.
#[tokio::test]
async fn an_unreachable_service_ends_no_session() {
    let scene = Scene::new().await;
    let session = scene.signed_in().await;
    scene.tokens.down.store(true, Ordering::SeqCst);
    let error = session.refresh("user-1").await.unwrap_err();
    assert!(matches!(error, SessionError::Unreachable(_)), "{error}");
    scene.server.abort();
    let _ = scene.server.await;
    let error = session.refresh("user-1").await.unwrap_err();
    assert!(matches!(error, SessionError::Unreachable(_)), "{error}");
    assert!(session.user().is_some());
}

/// Failure 40: a revoked token was kept, and asked with at every launch.
#[tokio::test]
async fn a_revoked_session_ends_and_is_not_asked_about_again() {
    let scene = Scene::new().await;
    let session = scene.signed_in().await;
    scene.tokens.given.fetch_add(1, Ordering::SeqCst);
    let error = session.refresh("user-1").await.unwrap_err();
    assert!(
        error.to_string().contains("refresh token has been revoked"),
        "{error}"
    );
    assert_eq!(session.user(), None);
    for session in [session, scene.session().await] {
        let error = session.refresh("user-1").await.unwrap_err();
        assert!(matches!(error, SessionError::NotSignedIn(_)), "{error}");
    }
    assert_eq!(scene.asked(), 1);
}

#[tokio::test]
async fn no_user_gets_the_token_of_another() {
    let scene = Scene::new().await;
    let session = scene.signed_in().await;
    let error = session.refresh("user-2").await.unwrap_err();
    assert!(matches!(error, SessionError::NotSignedIn(_)), "{error}");
    assert_eq!(scene.asked(), 0);
}

//! The client of an app.

use backend::{Backend, Clock, Settings};
use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};

/// The service's time in all tests, with nanoseconds.
pub(crate) fn clock() -> Clock {
    Clock::manual("2025-11-17T19:26:02.996263011Z".parse().unwrap())
}

/// A service on a manual clock.
pub(crate) async fn start(settings: Settings) -> Backend {
    Backend::start(settings.clock(clock())).await.unwrap()
}

/// A service without faults and a logged-in user.
pub(crate) async fn start_plain() -> (Backend, App) {
    let backend = start(Settings::new()).await;
    let app = App::log_in(&backend, "ada@example.org").await;
    (backend, app)
}

/// A logged-in user.
pub(crate) struct App {
    client: Client,
    url: String,
    pub(crate) access: String,
    pub(crate) refresh: String,
    pub(crate) user: String,
}

/// A response.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) retry_after: Option<String>,
    pub(crate) text: String,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }

    /// The data of a successful answer.
    #[track_caller]
    pub(crate) fn data(&self) -> Value {
        assert!(self.status.is_success(), "{self:?}");
        self.json()["data"].clone()
    }

    #[track_caller]
    pub(crate) fn id(&self) -> String {
        self.data()["id"].as_str().unwrap().to_owned()
    }

    #[track_caller]
    pub(crate) fn assert_refused(&self, status: u16, body: &Value) {
        assert_eq!((self.status.as_u16(), &self.json()), (status, body));
    }
}

pub(crate) async fn send(request: RequestBuilder) -> reqwest::Result<Reply> {
    let response = request.send().await?;
    let status = response.status();
    let retry_after = response.headers().get("retry-after");
    let retry_after = retry_after.map(|value| value.to_str().unwrap().to_owned());
    let text = response.text().await?;
    Ok(Reply {
        status,
        retry_after,
        text,
    })
}

impl App {
    pub(crate) async fn log_in(backend: &Backend, email: &str) -> Self {
        let mut app = Self {
            // One connection per request, so that requests do not affect each other.
            client: Client::builder().pool_max_idle_per_host(0).build().unwrap(),
            url: backend.url(),
            access: String::new(),
            refresh: String::new(),
            user: String::new(),
        };
        let login = json!({ "email": email, "password": "secret" });
        let tokens = app.post("/api/v1/auth/login", login).await.data();
        app.take(&tokens);
        app.user = tokens["user_id"].as_str().unwrap().to_owned();
        app
    }

    /// Refreshes, and uses the new pair from then on.
    pub(crate) async fn refresh(&mut self) -> Reply {
        let reply = self.refresh_with(&self.refresh).await;
        if reply.status == StatusCode::OK {
            self.take(&reply.data());
        }
        reply
    }

    pub(crate) async fn refresh_with(&self, token: &str) -> Reply {
        self.post("/api/v1/auth/refresh", json!({ "refresh_token": token }))
            .await
    }

    pub(crate) fn request(&self, method: &str, path: &str) -> RequestBuilder {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let request = self.client.request(method, format!("{}{path}", self.url));
        request
            .header("X-API-Key", Settings::API_KEY)
            .bearer_auth(&self.access)
    }

    pub(crate) async fn call(&self, method: &str, path: &str, body: Value) -> Reply {
        send(self.request(method, path).json(&body)).await.unwrap()
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        send(self.request("GET", path)).await.unwrap()
    }

    pub(crate) async fn delete(&self, path: &str) -> Reply {
        send(self.request("DELETE", path)).await.unwrap()
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Reply {
        self.call("POST", path, body).await
    }

    pub(crate) async fn put(&self, path: &str, body: Value) -> Reply {
        self.call("PUT", path, body).await
    }

    pub(crate) async fn patch(&self, path: &str, body: Value) -> Reply {
        self.call("PATCH", path, body).await
    }

    fn take(&mut self, tokens: &Value) {
        self.access = tokens["access_token"].as_str().unwrap().to_owned();
        self.refresh = tokens["refresh_token"].as_str().unwrap().to_owned();
    }
}

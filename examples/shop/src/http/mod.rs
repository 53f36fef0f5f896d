//! The endpoints of the shop. They write rows and events and call nobody, so they are as available
//! and as fast as the database.
//!
//! | | |
//! |---|---|
//! | `POST /customers` | `{"name"}`; 201 with the customer |
//! | `PUT /orders/{id}` | `{"customer_id","lines":[{"sku","quantity"}]}`; 201, or 200 if it was placed before |
//! | `GET /orders/{id}` | 200 |
//! | `POST /orders/{id}/pay` | 200; 409 if it was canceled |
//! | `POST /orders/{id}/cancel` | 200; 409 if it was paid |

use axum::Router;
use axum::routing::{post, put};
use tokio::net::TcpListener;

use crate::domain::Shop;

mod answer; // errors as responses
mod orders; // the handlers of requests

/// The endpoints.
pub fn router(shop: Shop) -> Router {
    Router::new()
        .route("/customers", post(orders::add_customer))
        .route("/orders/{id}", put(orders::place).get(orders::show))
        .route("/orders/{id}/pay", post(orders::pay))
        .route("/orders/{id}/cancel", post(orders::cancel))
        .with_state(shop)
}

/// Serves the endpoints until `stop` resolves, and then answers the requests that have arrived.
///
/// # Errors
///
/// If the listener fails.
pub async fn serve(
    listener: TcpListener,
    shop: Shop,
    stop: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let serving = axum::serve(listener, router(shop)).with_graceful_shutdown(stop);
    serving.await
}

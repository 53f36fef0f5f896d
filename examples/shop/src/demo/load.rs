//! The clients: they place orders at the service, pay for most of them and cancel some; and a few
//! do not get the response, and ask again.

use std::ops::AddAssign;
use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use futures_util::future::try_join_all;
use outbox_runtime::Clock;
use outbox_runtime::store::SystemClock;
use reqwest::{Client, Response, StatusCode};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::watch;
use uuid::Uuid;

/// How many customers there are: few, so that they have several orders at once.
const CUSTOMERS: u32 = 20;
/// How many clients there are at the same time.
const CLIENTS: u32 = 8;
/// How often one tries to place an order.
const TRIES: u32 = 5;

/// Clients of the service.
#[derive(Debug)]
pub(super) struct Load {
    http: Client,
    url: String,
    seed: u64,
    orders: u32,
}

/// What the clients saw.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Counts {
    pub(super) placed: u64,
    pub(super) out_of_stock: u64,
    pub(super) paid: u64,
    pub(super) canceled: u64,
    /// Clients who did not get the response, and asked again.
    pub(super) unanswered: u64,
    /// Orders that had been placed all the same.
    pub(super) known: u64,
}

#[derive(Deserialize)]
struct Created {
    id: Uuid,
}

impl Load {
    pub(super) fn new(url: &str, seed: u64, orders: u32) -> anyhow::Result<Self> {
        Ok(Self {
            http: Client::builder()
                .no_proxy()
                .timeout(Duration::from_secs(20))
                .build()?,
            url: url.to_owned(),
            seed,
            orders,
        })
    }

    /// Places all orders, and tells `done` how many it has tried so far.
    pub(super) async fn run(
        &self,
        skus: &[&str],
        done: &watch::Sender<u32>,
    ) -> anyhow::Result<Counts> {
        let mut customers = Vec::new();
        for number in 1..=CUSTOMERS {
            let body = json!({ "name": format!("Customer {number}") });
            let request = self
                .http
                .post(format!("{}/customers", self.url))
                .json(&body);
            let created: Created = request.send().await?.error_for_status()?.json().await?;
            customers.push(created.id);
        }
        let customers = Arc::new(customers);
        let clients = (0..CLIENTS).map(|client| {
            let customers = Arc::clone(&customers);
            async move {
                let mut counts = Counts::default();
                for number in (client..self.orders).step_by(CLIENTS as usize) {
                    // Whatever the timing, an order is the same in each run with this seed.
                    let seed = self.seed.wrapping_mul(1 << 32) + u64::from(number);
                    let mut rng = fastrand::Rng::with_seed(seed);
                    counts += self.order(&mut rng, &customers, skus).await?;
                    done.send_modify(|done| *done += 1);
                }
                anyhow::Ok(counts)
            }
        });
        let mut all = Counts::default();
        for counts in try_join_all(clients).await? {
            all += counts;
        }
        Ok(all)
    }

    /// The life of one order.
    async fn order(
        &self,
        rng: &mut fastrand::Rng,
        customers: &[Uuid],
        skus: &[&str],
    ) -> anyhow::Result<Counts> {
        let mut counts = Counts::default();
        let id = Uuid::now_v7();
        let some = rng.usize(1..=4);
        let chosen = rng.choose_multiple(skus, some);
        let lines: Vec<_> = chosen
            .into_iter()
            .map(|sku| json!({ "sku": sku, "quantity": rng.i64(1..=4) }))
            .collect();
        let customer = rng.choice(customers);
        let wanted = json!({ "customer_id": customer, "lines": lines });
        let order = format!("{}/orders/{id}", self.url);
        for attempt in 1..=TRIES {
            let sending = self.http.put(&order).json(&wanted).send();
            let response = match (attempt, rng.u32(0..100)) {
                // Hangs up while the service is at work.
                (1, 0..5) => {
                    let patience = Duration::from_micros(rng.u64(1_000..12_000));
                    tokio::select! {
                        response = sending => response?,
                        () = SystemClock.sleep(patience) => {
                            counts.unanswered += 1;
                            continue;
                        }
                    }
                }
                // Gets no response, although there is one.
                (1, 5..10) => {
                    drop(sending.await?);
                    counts.unanswered += 1;
                    continue;
                }
                _ => sending.await?,
            };
            match response.status() {
                StatusCode::CREATED => counts.placed += 1,
                StatusCode::OK => {
                    counts.placed += 1;
                    counts.known += 1;
                }
                StatusCode::CONFLICT => {
                    counts.out_of_stock += 1;
                    return Ok(counts);
                }
                _ => return unexpected(response).await,
            }
            match rng.u32(0..100) {
                0..60 => {
                    self.change(&order, "pay").await?;
                    counts.paid += 1;
                }
                60..75 => {
                    self.change(&order, "cancel").await?;
                    counts.canceled += 1;
                }
                _ => {}
            }
            return Ok(counts);
        }
        bail!("order {id} was not placed in {TRIES} tries")
    }

    async fn change(&self, order: &str, change: &str) -> anyhow::Result<()> {
        let response = self.http.post(format!("{order}/{change}")).send().await?;
        match response.status() {
            StatusCode::OK => Ok(()),
            _ => unexpected(response).await,
        }
    }
}

async fn unexpected<T>(response: Response) -> anyhow::Result<T> {
    let (status, url) = (response.status(), response.url().clone());
    bail!("{url}: {status}: {}", response.text().await?)
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.placed += other.placed;
        self.out_of_stock += other.out_of_stock;
        self.paid += other.paid;
        self.canceled += other.canceled;
        self.unanswered += other.unanswered;
        self.known += other.known;
    }
}

//! Rows and events are written together, or not at all.

use outbox_runtime::prelude::*;
use shop::domain::{Order, OrderStatus, Placed, ShopError, StockChange, StockLevel, place};

use crate::scene::Scene;

fn names(events: &[(String, Operation)]) -> Vec<(&str, Operation)> {
    let names = events.iter();
    names
        .map(|(name, operation)| (&**name, *operation))
        .collect()
}

const JOINED: (&str, Operation) = ("customer", Operation::Create);

#[tokio::test]
async fn placing_an_order_enqueues_an_event_for_each_row_it_writes() {
    let scene = Scene::new().await;
    let order = scene.order(&[("TEA", 2), ("POT", 1)]);
    let placed = scene.shop.place(&order).await.unwrap();
    let Placed::New(placed) = placed else {
        panic!("{placed:?}")
    };
    assert_eq!((placed.total_cents, placed.revision), (7_000, 1));
    assert_eq!(
        names(&scene.waiting().await),
        [
            JOINED,
            ("customer", Operation::Update),
            ("order", Operation::Create),
            ("order_line", Operation::Create),
            ("order_line", Operation::Create),
            ("stock", Operation::Update),
            ("stock", Operation::Update),
        ]
    );
}

#[tokio::test]
async fn a_transaction_that_is_rolled_back_leaves_neither_rows_nor_events() {
    let scene = Scene::new().await;
    let order = scene.order(&[("TEA", 2)]);
    let mut connection = scene.shop.connection().await.unwrap();
    let tx = connection.transaction().await.unwrap();
    place(&tx, &order).await.unwrap();
    tx.rollback().await.unwrap();
    // A client who hangs up drops the transaction.
    let tx = connection.transaction().await.unwrap();
    place(&tx, &order).await.unwrap();
    drop(tx);
    assert!(Order::all(&connection).await.unwrap().is_empty());
    assert!(StockChange::all(&connection).await.unwrap().is_empty());
    assert_eq!(names(&scene.waiting().await), [JOINED]);
}

#[tokio::test]
async fn an_order_that_is_partly_out_of_stock_changes_nothing() {
    let scene = Scene::new().await;
    let order = scene.order(&[("POT", 1), ("TEA", 11)]);
    let refused = scene.shop.place(&order).await.unwrap_err();
    assert!(matches!(refused, ShopError::OutOfStock(sku) if sku == "TEA"));
    let connection = scene.shop.connection().await.unwrap();
    let levels = StockLevel::all(&connection).await.unwrap();
    assert!(
        levels
            .iter()
            .all(|it| (it.available, it.revision) == (10, 0))
    );
    assert_eq!(names(&scene.waiting().await), [JOINED]);
}

#[tokio::test]
async fn placing_an_order_again_changes_nothing() {
    let scene = Scene::new().await;
    let order = scene.order(&[("TEA", 2)]);
    scene.shop.place(&order).await.unwrap();
    let before = scene.waiting().await;
    let again = scene.shop.place(&order).await.unwrap();
    assert!(matches!(again, Placed::Known(_)));
    assert_eq!(scene.waiting().await, before);
}

#[tokio::test]
async fn canceling_an_order_puts_its_goods_back_and_paying_is_final() {
    let scene = Scene::new().await;
    let [one, two] = [("TEA", 2), ("TEA", 3)].map(|line| scene.order(&[line]));
    scene.shop.place(&one).await.unwrap();
    scene.shop.place(&two).await.unwrap();
    let before = scene.waiting().await.len();
    let canceled = scene.shop.cancel(one.id).await.unwrap();
    assert_eq!(
        (canceled.status, canceled.revision),
        (OrderStatus::Canceled, 2)
    );
    scene.shop.pay(two.id).await.unwrap();
    // The order, its stock and the customer; the other order.
    assert_eq!(scene.waiting().await.len(), before + 4);
    let refused = scene.shop.cancel(two.id).await.unwrap_err();
    assert!(matches!(refused, ShopError::WrongStatus(OrderStatus::Paid)));
    scene.shop.pay(two.id).await.unwrap();
    assert_eq!(
        scene.waiting().await.len(),
        before + 4,
        "paying again is nothing new"
    );
    let connection = scene.shop.connection().await.unwrap();
    let levels = StockLevel::all(&connection).await.unwrap();
    let tea = levels.iter().find(|level| level.sku == "TEA").unwrap();
    assert_eq!((tea.available, tea.revision), (7, 3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orders_and_cancellations_at_the_same_time_neither_deadlock_nor_oversell() {
    let scene = Scene::new().await;
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..40_i64 {
        let shop = scene.shop.clone();
        // In both directions, as they come from clients.
        let mut lines = [("TEA", 1), ("POT", 1)];
        lines.rotate_left(usize::from(number % 2 == 0));
        let order = scene.order(&lines);
        tasks.spawn(async move {
            match shop.place(&order).await {
                Ok(_) if number % 3 == 0 => shop.cancel(order.id).await.map(drop),
                Ok(_) | Err(ShopError::OutOfStock(_)) => Ok(()),
                Err(error) => Err(error),
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap().unwrap();
    }
    let connection = scene.shop.connection().await.unwrap();
    let changes = StockChange::all(&connection).await.unwrap();
    for level in StockLevel::all(&connection).await.unwrap() {
        let of_sku = changes.iter().filter(|change| change.sku == level.sku);
        let sum: i64 = of_sku.map(|change| change.change).sum();
        assert_eq!(level.available, 10 + sum);
        assert!(level.available >= 0);
    }
}

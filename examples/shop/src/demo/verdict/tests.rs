//! Every check fails where it has to.

use outbox_runtime::OutboxStatus;
use uuid::Uuid;

use super::super::evidence::{Content, Evidence, Message, Stored};
use super::judge;
use crate::domain::{Customer, Order, OrderLine, OrderStatus, StockChange, StockLevel};
use crate::partner::{Accepted, Item, Ledger};

const ORDER: Uuid = Uuid::from_u128(1);
const CUSTOMER: Uuid = Uuid::from_u128(3);

fn order(revision: i64) -> Order {
    let status = match revision {
        1 => OrderStatus::Placed,
        _ => OrderStatus::Paid,
    };
    Order {
        id: ORDER,
        customer_id: CUSTOMER,
        status,
        total_cents: 1_780,
        revision,
    }
}

fn line() -> OrderLine {
    OrderLine {
        customer_id: CUSTOMER,
        order_id: ORDER,
        sku: "TEA".to_owned(),
        quantity: 2,
        unit_cents: 890,
    }
}

fn customer(revision: i64) -> Customer {
    Customer {
        id: CUSTOMER,
        name: "Ada".to_owned(),
        orders: revision - 1,
        spent_cents: (revision - 1) * 1_780,
        revision,
    }
}

fn change() -> StockChange {
    StockChange {
        sku: "TEA".to_owned(),
        revision: 1,
        order_id: ORDER,
        change: -2,
        available: 8,
    }
}

fn level() -> StockLevel {
    StockLevel {
        sku: "TEA".to_owned(),
        available: 8,
        revision: 1,
    }
}

fn event(id: u128, event_type: &str) -> Stored {
    Stored {
        id: Uuid::from_u128(id),
        event_type: event_type.to_owned(),
        entity: "x".to_owned(),
        status: OutboxStatus::Completed,
        error: None,
    }
}

fn accepted(id: u128, item: Item) -> Accepted {
    let key = Uuid::from_u128(id);
    Accepted { key, item }
}

fn message(id: u128, content: Content) -> Message {
    let id = Uuid::from_u128(id);
    Message { id, content }
}

/// An order that was placed and paid.
fn evidence() -> Evidence {
    let mut partner = Ledger::default();
    partner.accepted = vec![
        accepted(10, Item::Order(order(1))),
        accepted(11, Item::Line(line())),
        accepted(12, Item::Order(order(2))),
    ];
    Evidence {
        orders: vec![order(2)],
        lines: vec![line()],
        customers: vec![customer(2)],
        stock: vec![level()],
        changes: vec![change()],
        events: vec![
            event(10, "order"),
            event(11, "order_line"),
            event(12, "order"),
            event(13, "stock"),
            event(14, "customer"),
            event(15, "customer"),
        ],
        partner,
        stream: Some(vec![
            message(14, Content::Customer(customer(1))),
            message(13, Content::Stock(change())),
            message(15, Content::Customer(customer(2))),
        ]),
    }
}

/// The claims that do not hold.
fn failed(evidence: &Evidence) -> Vec<&'static str> {
    let failed = judge(evidence).into_iter();
    let failed = failed.filter(|check| !check.differences.is_empty());
    failed.map(|check| check.claim).collect()
}

#[track_caller]
fn assert_fails(change: impl FnOnce(&mut Evidence), claims: &[&str]) {
    let mut evidence = evidence();
    change(&mut evidence);
    assert_eq!(failed(&evidence), claims);
}

fn stream(evidence: &mut Evidence) -> &mut Vec<Message> {
    evidence.stream.as_mut().unwrap()
}

const STOCK: &str = "stock adds up in the database";
const UNDELIVERED: &str = "every event is delivered";
const ORDERS: &str = "the partner has every change of every order, once and in order";
const LAST_ORDER: &str = "the partner's last state of every order is the database's";
const LINES: &str = "the partner has every line, once and after its order";
const KEYS: &str = "the partner has every delivered event once, under its id";
const CHANGES: &str = "the stream has every change of stock, once and in order";
const CUSTOMERS: &str = "the stream has every change of every customer, once and in order";
const LAST_CUSTOMER: &str = "the stream's last state of every customer is the database's";
const IDS: &str = "the stream has every delivered event once, under its id";

#[test]
fn what_agrees_passes() {
    assert_fails(|_| {}, &[]);
    assert_eq!(judge(&evidence()).len(), 10);
}

#[test]
fn stock_that_does_not_add_up_is_found() {
    assert_fails(|it| it.stock[0].available = 9, &[STOCK]);
    assert_fails(|it| it.stock[0].revision = 2, &[STOCK]);
    assert_fails(|it| it.lines[0].quantity = 3, &[STOCK, LINES]);
    assert_fails(
        |it| it.orders[0].status = OrderStatus::Canceled,
        &[STOCK, LAST_ORDER],
    );
}

#[test]
fn an_event_that_is_left_or_dead_is_found() {
    for status in [OutboxStatus::Failed, OutboxStatus::Dead] {
        assert_fails(|it| it.events[0].status = status, &[UNDELIVERED]);
    }
}

#[test]
fn lost_doubled_and_overtaken_changes_of_orders_are_found() {
    assert_fails(
        |it| drop(it.partner.accepted.remove(2)),
        &[ORDERS, LAST_ORDER, KEYS],
    );
    let twice = |it: &mut Evidence| {
        let again = accepted(12, Item::Order(order(2)));
        it.partner.accepted.push(again);
    };
    assert_fails(twice, &[ORDERS, KEYS]);
    let under_two_ids = |it: &mut Evidence| {
        let again = accepted(99, Item::Order(order(2)));
        it.partner.accepted.push(again);
    };
    assert_fails(under_two_ids, &[ORDERS, KEYS]);
    assert_fails(|it| it.partner.accepted.swap(0, 2), &[ORDERS, LAST_ORDER]);
}

#[test]
fn a_state_that_differs_is_found() {
    assert_fails(|it| it.orders[0].total_cents += 1, &[LAST_ORDER]);
    assert_fails(|it| it.customers[0].spent_cents += 1, &[LAST_CUSTOMER]);
}

#[test]
fn lost_doubled_changed_and_early_lines_are_found() {
    assert_fails(|it| drop(it.partner.accepted.remove(1)), &[LINES, KEYS]);
    let twice = |it: &mut Evidence| it.partner.accepted.push(accepted(11, Item::Line(line())));
    assert_fails(twice, &[LINES, KEYS]);
    assert_fails(|it| it.lines[0].unit_cents += 1, &[LINES]);
    assert_fails(|it| it.partner.accepted.swap(0, 1), &[LINES]);
}

#[test]
fn lost_doubled_and_changed_messages_are_found() {
    assert_fails(|it| drop(stream(it).remove(1)), &[CHANGES, IDS]);
    let twice = |it: &mut Evidence| stream(it).push(message(13, Content::Stock(change())));
    assert_fails(twice, &[CHANGES, IDS]);
    assert_fails(|it| stream(it)[1].id = Uuid::from_u128(99), &[IDS]);
    assert_fails(
        |it| drop(stream(it).remove(2)),
        &[CUSTOMERS, LAST_CUSTOMER, IDS],
    );
    assert_fails(|it| stream(it).swap(0, 2), &[CUSTOMERS, LAST_CUSTOMER]);
}

#[test]
fn without_a_broker_only_its_events_may_wait() {
    let mut evidence = evidence();
    evidence.stream = None;
    for event in &mut evidence.events[3..] {
        event.status = OutboxStatus::Pending;
    }
    assert!(failed(&evidence).is_empty());
    evidence.events[0].status = OutboxStatus::Pending;
    assert_eq!(failed(&evidence), [UNDELIVERED]);
}

use outbox_runtime::Cancel;

fn cancel(store: &str) {
    let _ = Cancel::key("user-1", "avatar").on(store);
}

fn main() {}

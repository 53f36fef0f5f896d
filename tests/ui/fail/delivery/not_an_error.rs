use outbox_runtime::DeliveryError;

#[derive(Debug, DeliveryError)]
enum SyncError {
    #[outbox(offline)]
    NoConnection,
}

fn main() {}

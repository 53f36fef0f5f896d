use outbox_runtime::DeliveryError;

#[derive(DeliveryError)]
union SyncError {
    status: u16,
    code: u16,
}

impl std::fmt::Debug for SyncError {
    fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        Ok(())
    }
}

impl std::fmt::Display for SyncError {
    fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        Ok(())
    }
}

impl std::error::Error for SyncError {}

fn main() {}

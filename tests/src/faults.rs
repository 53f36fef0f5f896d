//! Whether the faults of a simulation have happened.

use outbox_testing::Report;

/// Holds a report to deliveries, dead letters, and every fault that attempts meet. A simulation
/// without them would prove nothing.
///
/// # Panics
///
/// If one of them is missing.
pub fn assert_that_faults_happened(report: &Report) {
    for count in [
        report.delivered,
        report.dead,
        report.crashes,
        report.freezes,
        report.leases_lost,
        report.remote_faults,
        report.injected.failures,
    ] {
        assert!(count > 0, "{report:?}");
    }
}

//! Releases of the application: processes that restart may run another one.

use super::process::Release;
use super::world::World;

impl World {
    /// Draws the release that a process runs once it restarts, if there are two.
    pub(super) fn draw_release(&mut self, process: usize) {
        if self.older_changes.is_some() {
            let release = Release::draw(&mut self.rng);
            self.processes[process].next = release;
        }
    }

    /// Updates every process to the newest release.
    pub(super) fn update_all(&mut self) {
        if self.older_changes.is_some() {
            self.trace("all processes are updated to the newest release");
            for process in &mut self.processes {
                process.update();
            }
        }
    }
}

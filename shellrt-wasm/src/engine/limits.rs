//! How much memory a program may take: the sum of all its linear memories and tables.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;

use wasmtime::ResourceLimiter;

/// The memory of a whole run. A program that serves requests has one instance per request, and all of
/// them take from the same budget.
pub(super) struct Budget {
    limit: Option<u64>,
    used: AtomicU64,
    gauge: Option<&'static AtomicU64>,
}

/// The part of a budget that one instance holds; what it holds goes back when it is dropped.
pub(super) struct Limiter {
    budget: Arc<Budget>,
    held: u64,
    /// What the growth took that the engine is at; it goes back if the engine fails to grow.
    last: u64,
    refused: Option<Refusal>,
}

/// A growth that the limit forbade.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refusal {
    /// What the program would have held, in bytes.
    pub wanted: u64,
    /// The limit, in bytes.
    pub limit: u64,
}

impl Budget {
    /// A budget of `limit` bytes, or one without an end. `gauge` shows what is used.
    pub fn new(limit: Option<u64>, gauge: Option<&'static AtomicU64>) -> Arc<Budget> {
        Arc::new(Budget {
            limit,
            used: AtomicU64::new(0),
            gauge,
        })
    }

    fn take(&self, bytes: u64) -> Result<(), Refusal> {
        let limit = self.limit.unwrap_or(u64::MAX);
        let fits = |used: u64| used.checked_add(bytes).filter(|sum| *sum <= limit);
        match self
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits)
        {
            Ok(before) => {
                self.show(before + bytes);
                Ok(())
            }
            Err(used) => Err(Refusal {
                wanted: used.saturating_add(bytes),
                limit,
            }),
        }
    }

    fn give_back(&self, bytes: u64) {
        let before = self.used.fetch_sub(bytes, Ordering::Relaxed);
        self.show(before - bytes);
    }

    fn show(&self, used: u64) {
        if let Some(gauge) = self.gauge {
            gauge.store(used, Ordering::Relaxed);
        }
    }
}

impl Limiter {
    /// How many linear memories one instance of a component may have; each reserves 4 GiB of address
    /// space.
    const MEMORIES: usize = 256;
    /// How many core instances a component may consist of.
    const INSTANCES: usize = 4096;
    /// How many tables one instance of a program may have.
    const TABLES: usize = 4096;
    /// How many elements a table may have.
    const ELEMENTS: usize = 10_000_000;
    /// What an element of a table takes, in bytes.
    const ELEMENT: u64 = 8;

    /// A limiter that holds nothing yet.
    pub fn new(budget: Arc<Budget>) -> Limiter {
        Limiter {
            budget,
            held: 0,
            last: 0,
            refused: None,
        }
    }

    /// The growth that was refused, if nothing has grown since: a program that copes with a refusal
    /// and goes on is not at its limit any more.
    pub fn refused(&self) -> Option<Refusal> {
        self.refused
    }

    fn grow(&mut self, bytes: u64) -> bool {
        match self.budget.take(bytes) {
            Ok(()) => {
                self.held += bytes;
                self.last = bytes;
                self.refused = None;
                true
            }
            Err(refusal) => {
                self.refused = Some(refusal);
                false
            }
        }
    }

    fn undo(&mut self) {
        let bytes = std::mem::take(&mut self.last);
        self.held -= bytes;
        self.budget.give_back(bytes);
    }
}

impl Drop for Limiter {
    fn drop(&mut self) {
        self.budget.give_back(self.held);
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        self.last = 0;
        if maximum.is_some_and(|maximum| desired > maximum) {
            // The engine refuses it by itself: the program's own limit, not ours.
            return Ok(true);
        }
        Ok(self.grow(desired.saturating_sub(current) as u64))
    }

    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        log::debug!("a linear memory could not grow: {error:#}");
        self.undo();
        Ok(())
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        self.last = 0;
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(true);
        }
        if desired > Limiter::ELEMENTS {
            return Ok(false);
        }
        Ok(self.grow(desired.saturating_sub(current) as u64 * Limiter::ELEMENT))
    }

    fn table_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        log::debug!("a table could not grow: {error:#}");
        self.undo();
        Ok(())
    }

    fn instances(&self) -> usize {
        Limiter::INSTANCES
    }

    fn tables(&self) -> usize {
        Limiter::TABLES
    }

    fn memories(&self) -> usize {
        Limiter::MEMORIES
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use wasmtime::ResourceLimiter;

    use super::{Budget, Limiter, Refusal};

    #[test]
    fn instances_share_a_budget_and_give_it_back() {
        static GAUGE: AtomicU64 = AtomicU64::new(0);
        let budget = Budget::new(Some(100), Some(&GAUGE));
        let mut one = Limiter::new(budget.clone());
        let mut two = Limiter::new(budget);
        assert!(one.memory_growing(0, 60, None).unwrap());
        assert!(!two.memory_growing(0, 50, None).unwrap());
        assert_eq!(
            two.refused(),
            Some(Refusal {
                wanted: 110,
                limit: 100
            })
        );
        assert_eq!(GAUGE.load(Ordering::Relaxed), 60);
        drop(one);
        assert_eq!(GAUGE.load(Ordering::Relaxed), 0);
        assert!(two.memory_growing(0, 50, None).unwrap());
        assert_eq!(two.refused(), None);
        assert!(two.table_growing(0, 5, None).unwrap());
        assert_eq!(GAUGE.load(Ordering::Relaxed), 90);
    }

    #[test]
    fn a_growth_that_fails_takes_nothing() {
        static GAUGE: AtomicU64 = AtomicU64::new(0);
        let mut limiter = Limiter::new(Budget::new(None, Some(&GAUGE)));
        assert!(limiter.memory_growing(0, 60, None).unwrap());
        assert!(limiter.memory_growing(60, 80, None).unwrap());
        limiter
            .memory_grow_failed(wasmtime::Error::msg("no"))
            .unwrap();
        assert_eq!(GAUGE.load(Ordering::Relaxed), 60);
        // Over the program's own maximum: the engine says no, and nothing was taken.
        assert!(limiter.memory_growing(60, 80, Some(70)).unwrap());
        limiter
            .memory_grow_failed(wasmtime::Error::msg("no"))
            .unwrap();
        assert_eq!(GAUGE.load(Ordering::Relaxed), 60);
    }
}

//! A flag that one task of an executor waits for and others of the same executor set.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::task::{Poll, Waker};

/// Settings between two waits add up to one.
#[derive(Debug, Default)]
pub struct Event {
    is_set: Cell<bool>,
    waiter: RefCell<Option<Waker>>,
}

impl Event {
    /// Sets it and wakes who waits.
    pub fn set(&self) {
        if !self.is_set.replace(true)
            && let Some(waiter) = self.waiter.borrow_mut().take()
        {
            waiter.wake();
        }
    }

    /// Whether it is set; clears it.
    pub fn take(&self) -> bool {
        self.is_set.replace(false)
    }

    /// Resolves when it is set, and clears it. One task at a time may wait.
    pub async fn wait(&self) {
        poll_fn(|cx| {
            if self.is_set.replace(false) {
                return Poll::Ready(());
            }
            let mut waiter = self.waiter.borrow_mut();
            match &mut *waiter {
                Some(waiter) => waiter.clone_from(cx.waker()),
                None => *waiter = Some(cx.waker().clone()),
            }
            Poll::Pending
        })
        .await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::rc::Rc;

    #[test]
    fn a_waiting_task_goes_on_and_settings_before_the_wait_count() {
        let executor = glommio::LocalExecutor::default();
        executor.run(async {
            let event = Rc::new(Event::default());
            event.set();
            event.set();
            event.wait().await;
            assert!(!event.take());
            let setter = event.clone();
            let task = glommio::spawn_local(async move { setter.set() });
            event.wait().await;
            task.await;
        });
    }
}

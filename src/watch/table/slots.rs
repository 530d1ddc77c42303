//! Storage whose places have numbers and are used again.
//!
//! A watch, a path and a connection refer to each other by numbers of 32 bits: half of what a pointer takes. A number
//! means nothing once its slot is free, so whoever frees one removes every reference to it first.

/// Marks the end of a list.
pub(super) const NONE: u32 = u32::MAX;

/// A slab of reusable slots.
#[derive(Debug)]
pub(super) struct Slots<T> {
    /// By slot. What a free slot holds means nothing.
    pub things: Vec<T>,
    /// Slots to use again. Invariant: each once.
    free: Vec<u32>,
}

impl<T> Slots<T> {
    /// No slots yet.
    pub const fn new() -> Self {
        Slots { things: Vec::new(), free: Vec::new() }
    }

    /// Puts a thing into a free slot, the one that became free last, or into a new one; returns its number.
    ///
    /// # Panics
    /// Beyond 2³² - 1 slots.
    pub fn insert(&mut self, thing: T) -> u32 {
        match self.free.pop() {
            Some(slot) => {
                self.things[slot as usize] = thing;
                slot
            }
            None => {
                let slot = u32::try_from(self.things.len()).expect("fewer than 2^32 watches");
                assert!(slot != NONE, "fewer than 2^32 watches");
                self.things.push(thing);
                slot
            }
        }
    }

    /// Makes a slot free. What it holds stays until the slot is used again.
    pub fn release(&mut self, slot: u32) {
        assert!((slot as usize) < self.things.len(), "a slot that was used is released");
        assert!(self.free.len() < self.things.len(), "a slot is released once");
        self.free.push(slot);
    }

    /// What is in a slot; of a free one, what was there before.
    #[inline]
    pub fn get(&self, slot: u32) -> &T {
        &self.things[slot as usize]
    }

    /// The same, to change it.
    #[inline]
    pub fn get_mut(&mut self, slot: u32) -> &mut T {
        &mut self.things[slot as usize]
    }
}

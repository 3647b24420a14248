//! Time as the engine sees it: a number that the caller passes in. The engine never reads a clock, so that every
//! run can be replayed from its inputs.

/// Milliseconds since an epoch of the embedder's choice (the server uses the Unix epoch).
///
/// The engine only compares these numbers. They should not run backwards; if they do, items merely live longer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Millis(pub u64);

/// What a write does to the moment at which its item expires.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Expiry {
    /// The item lives until it is evicted.
    #[default]
    Never,
    /// The item is gone once the clock reaches this moment.
    At(Millis),
    /// The item keeps the moment that the item it replaces has; a new item never expires.
    Keep,
}

impl Millis {
    /// This moment plus `ms` milliseconds, saturating.
    #[must_use]
    pub const fn after(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }
}

//! What is told to `tracing`, with the feature of that name; without it nothing is left of it.
//!
//! Only what happens seldom is told, and never under one of the library's locks: a subscriber is
//! the user's code.

/// `event!(level, "message", field = value, ...)`: one event, with target `ringlog`. Strings and
/// numbers go as they are.
macro_rules! event {
    ($level:ident, $message:literal $(, $field:ident = $value:expr)* $(,)?) => {{
        #[cfg(feature = "tracing")]
        ::tracing::$level!(target: "ringlog", $($field = $value,)* $message);
        // Never called: what is told only there counts as used.
        #[cfg(not(feature = "tracing"))]
        let _ = || {
            $(let _ = &$value;)*
        };
    }};
}

pub(crate) use event;

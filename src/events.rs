//! Events for [`tracing`](https://docs.rs/tracing), with the feature of that name. Without the
//! feature the macro expands to no code.
//!
//! Events report only what happens rarely. No event is emitted under one of the library's locks,
//! because the subscriber is the user's code.

/// `event!(level, "message", field = value, ...)` emits one event with target `ringlog`. Values
/// are strings and numbers, passed without conversion.
macro_rules! event {
    ($level:ident, $message:literal $(, $field:ident = $value:expr)* $(,)?) => {{
        #[cfg(feature = "tracing")]
        ::tracing::$level!(target: "ringlog", $($field = $value,)* $message);
        // Never called: without the feature, it keeps the values from being reported as unused.
        #[cfg(not(feature = "tracing"))]
        let _ = || {
            $(let _ = &$value;)*
        };
    }};
}

pub(crate) use event;

//! Counts of everything that the soak does.

use serde::Serialize;

macro_rules! counts {
    ($($(#[doc = $doc:literal])* $name:ident: $label:literal,)*) => {
        /// Counts of one thread, one round or the whole run.
        #[derive(Clone, Debug, Default, PartialEq, Serialize)]
        pub(crate) struct Counts {
            $($(#[doc = $doc])* pub(crate) $name: u64,)*
        }

        impl Counts {
            pub(crate) fn add(&mut self, other: &Counts) {
                $(self.$name += other.$name;)*
            }

            /// Each count with its label.
            pub(crate) fn rows(&self) -> Vec<(&'static str, u64)> {
                vec![$(($label, self.$name),)*]
            }
        }
    };
}

counts! {
    /// Without aborted claims.
    sent: "records sent",
    sends: "  by send",
    try_sends: "  by try_send",
    batched: "  by send_batch",
    values: "  by send_values",
    gathered: "  by a gathering producer",
    claims: "  by claim",
    aborted: "claims aborted",
    panics: "  of them by a panic",
    /// Calls that found no room, or another producer with exclusive access to the topic.
    refused: "sends refused",
    producers: "shared producers made",
    exclusive: "exclusive producers made",
    read: "records read and checked",
    bytes: "  their values' bytes",
    lost: "offsets lost",
    stepped: "aborted claims stepped over",
    joined: "consumers joined",
    subscribed: "subscriptions changed",
    seeks: "seeks",
    pauses: "pauses",
    held: "batches held and compared",
}

impl Counts {
    /// The labels of what never happened. Empty after some rounds.
    pub(crate) fn missing(&self) -> Vec<&'static str> {
        let rows = self.rows().into_iter();
        rows.filter(|&(_, count)| count == 0)
            .map(|(label, _)| label.trim())
            .collect()
    }
}

/// `1234567` as `1,234,567`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_add_up_and_missing_ones_are_named() {
        let one = Counts {
            sent: 2,
            held: 1,
            ..Counts::default()
        };
        let mut all = one.clone();
        all.add(&one);
        assert_eq!((all.sent, all.held, all.read), (4, 2, 0));
        assert!(all.missing().contains(&"records read and checked"));
        assert!(!all.missing().contains(&"records sent"));
    }

    #[test]
    fn numbers_are_grouped_by_three_digits() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_000), "1,000");
        assert_eq!(grouped(12_345_678), "12,345,678");
    }
}

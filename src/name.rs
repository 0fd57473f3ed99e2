//! Which names topics, groups, members and consumers may have.

/// The longest name, in bytes: Kafka's limit for topics.
const MAX_NAME: usize = 249;

/// The rule that the name breaks; `None` for a valid name of a topic, group, member or consumer.
pub(crate) fn name_fault(name: &str) -> Option<&'static str> {
    let unprintable = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}' | '\u{e000}'..='\u{f8ff}' | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}')
    };
    if name.is_empty() {
        Some("it is empty")
    } else if name.len() > MAX_NAME {
        Some("it is longer than 249 bytes")
    } else if name.chars().any(unprintable) {
        Some("it has a character that does not print")
    } else {
        None
    }
}

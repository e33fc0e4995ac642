//! What a recorded event is read as: mostly one event, sometimes several or none.

use std::iter::Chain;
use std::{option, vec};

/// What one recorded event is read as.
///
/// It is one event, unless its name is one that is only found in old logs: then it is the [parts](Decoded::Parts) it was
/// split into, or nothing where its name was dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decoded<E> {
    /// The event itself, in today's shape.
    Whole(E),
    /// The events that an old one was split into, in the order of the variants of the enum; none, if it says nothing any more.
    Parts(Vec<E>),
}

impl<E> Decoded<E> {
    /// The same with another type of event.
    pub fn map<T>(self, into: impl FnMut(E) -> T) -> Decoded<T> {
        let mut into = into;
        match self {
            Self::Whole(event) => Decoded::Whole(into(event)),
            Self::Parts(parts) => Decoded::Parts(parts.into_iter().map(into).collect()),
        }
    }

    /// Those for which `wanted` says so.
    pub fn filter(self, mut wanted: impl FnMut(&E) -> bool) -> Self {
        match self {
            Self::Whole(event) if wanted(&event) => Self::Whole(event),
            Self::Whole(_) => Self::Parts(Vec::new()),
            Self::Parts(mut parts) => {
                parts.retain(wanted);
                Self::Parts(parts)
            }
        }
    }

    /// The event, if it is one; otherwise how many they are.
    ///
    /// # Errors
    ///
    /// The number of events, which is not 1.
    pub fn one(self) -> Result<E, usize> {
        match self {
            Self::Whole(event) => Ok(event),
            Self::Parts(parts) => {
                let found = parts.len();
                let mut parts = parts.into_iter();
                parts.next().filter(|_| found == 1).ok_or(found)
            }
        }
    }
}

impl<E> IntoIterator for Decoded<E> {
    type Item = E;
    type IntoIter = Chain<option::IntoIter<E>, vec::IntoIter<E>>;

    fn into_iter(self) -> Self::IntoIter {
        // An empty vector is no allocation.
        let (whole, parts) = match self {
            Self::Whole(event) => (Some(event), Vec::new()),
            Self::Parts(parts) => (None, parts),
        };
        whole.into_iter().chain(parts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_event_is_asked_for_and_no_other_number_is_taken_for_it() {
        assert_eq!(Decoded::Whole('a').one(), Ok('a'));
        assert_eq!(Decoded::Parts(vec!['a']).one(), Ok('a'));
        assert_eq!(Decoded::Parts(Vec::<char>::new()).one(), Err(0));
        assert_eq!(Decoded::Parts(vec!['a', 'b']).one(), Err(2));
    }

    #[test]
    fn what_is_not_wanted_is_left_out() {
        assert_eq!(Decoded::Whole(1).filter(|number| *number > 1), Decoded::Parts(vec![]));
        assert_eq!(Decoded::Parts(vec![1, 2, 3]).filter(|number| *number > 1), Decoded::Parts(vec![2, 3]));
        let all = Decoded::Parts(vec![1, 2]).map(|number| number * 2).into_iter().collect::<Vec<_>>();
        assert_eq!(all, [2, 4]);
    }
}

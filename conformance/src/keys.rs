//! The promises of a [`KeyStore`], and that a person who was forgotten is so. They are functions of their own, because a store that
//! keeps events need not keep keys.

use std::collections::BTreeSet;

use factum_core::privacy::{KeyStore, MasterKey, Personal, StoredKey, Vault, WrappedKey};
use factum_core::store::{Append, ReadStream};
use factum_core::{
    __private, BoxError, Codec, DecodeError, Decoded, Event, EventStore, EventType, Expected, Metadata,
    NewEvent, RecordedEvent, StreamId,
};
use serde::{Deserialize, Serialize};

use crate::race::race;

fn key(subject: &str, bytes: &[u8]) -> StoredKey {
    let key = Some(WrappedKey { by: "master".into(), bytes: bytes.to_vec() });
    StoredKey { subject: subject.into(), generation: 1, key }
}

fn note(subject: &str) -> StoredKey {
    StoredKey { subject: subject.into(), generation: u32::MAX, key: None }
}

async fn of(keys: &impl KeyStore, subjects: &[&str]) -> Vec<StoredKey> {
    let subjects: Vec<_> = subjects.iter().map(|subject| (*subject).to_owned()).collect();
    let mut found = keys.keys(&subjects).await.expect("keys can be read");
    found.sort_by(|left, right| left.subject.cmp(&right.subject));
    found
}

/// Keys and notes come back as they were given, each for its own subject, and of whom nothing is known there is nothing.
pub async fn keys_and_notes_come_back(keys: &impl KeyStore) {
    let all_bytes: Vec<_> = (0..=255).collect();
    let given = vec![key("", &[]), key("a", &all_bytes), key("a ", &[0]), note("Ä'\"%\\"), key("b", &[1])];
    keys.add_keys(given.clone()).await.expect("keys can be added");
    let subjects: Vec<_> = given.iter().map(|key| &*key.subject).collect();
    let mut expected = given.clone();
    expected.sort_by(|left, right| left.subject.cmp(&right.subject));
    assert_eq!(of(keys, &subjects).await, expected);
    assert_eq!(of(keys, &["a", "A", "c", "a", ""][1..4]).await.first(), Some(&key("a", &all_bytes)));
    assert_eq!(of(keys, &["A", "c"]).await, []);
    assert_eq!(of(keys, &[]).await, []);
}

/// Of those who add a key for one subject at once, one wins, and all get the same answer; a note is no place for a key.
pub async fn all_who_add_a_key_get_the_same(keys: impl KeyStore + Clone) {
    let answers = race((0..8_u8).map(|number| {
        let keys = keys.clone();
        async move {
            let mine = vec![key("one", &[number]), key(&format!("own-{number}"), &[number])];
            let mut answer = keys.add_keys(mine).await.expect("keys can be added");
            answer.sort_by(|left, right| left.subject.cmp(&right.subject));
            answer
        }
    }))
    .await;
    let there = of(&keys, &["one"]).await;
    assert_eq!(there.len(), 1);
    for (number, answer) in answers.into_iter().enumerate() {
        assert_eq!(answer.len(), 2, "one for each subject");
        assert_eq!(answer[0], there[0]);
        assert_eq!(answer[1].subject, format!("own-{number}"));
    }
    keys.add_keys(vec![note("gone")]).await.expect("a note can be added");
    assert_eq!(keys.add_keys(vec![key("gone", &[1])]).await.expect("it can be asked"), [note("gone")]);
}

/// A row is replaced only as long as it is as the caller saw it: key, generation and master key.
pub async fn a_row_is_replaced_only_as_it_was_seen(keys: &impl KeyStore) {
    let old = key("a", &[1]);
    keys.add_keys(vec![old.clone(), key("b", &[1])]).await.expect("keys can be added");
    let by = |by: &str| StoredKey { key: Some(WrappedKey { by: by.into(), bytes: vec![1] }), ..old.clone() };
    let seen_wrongly =
        [key("a", &[2]), by("other"), StoredKey { generation: 2, ..old.clone() }, note("a"), key("c", &[1])];
    for wrong in seen_wrongly {
        let new = StoredKey { subject: wrong.subject.clone(), ..note("a") };
        assert!(!keys.replace_key(&wrong, new).await.expect("it can be asked"), "{wrong:?}");
    }
    assert_eq!(of(keys, &["a", "b", "c"]).await, [old.clone(), key("b", &[1])]);
    let new = StoredKey { generation: 7, ..key("a", &[3; 99]) };
    for (old, new) in [(&old, &new), (&new, &note("a")), (&note("a"), &old)] {
        assert!(keys.replace_key(old, new.clone()).await.expect("it can be replaced"));
        assert_eq!(of(keys, &["a", "b"]).await, [new.clone(), key("b", &[1])]);
    }
}

/// All rows are listed, in the order of their subjects' bytes, page by page.
pub async fn rows_are_listed_in_their_order(keys: &impl KeyStore) {
    let subjects = ["Z", "a", "a-", "a0", "aa", "ä", "日"];
    keys.add_keys(subjects.iter().rev().map(|subject| key(subject, &[1])).collect()).await.expect("added");
    let mut listed = Vec::new();
    let mut after = String::new();
    loop {
        let page = keys.list_keys(&after, 2).await.expect("keys can be listed");
        assert!(page.len() <= 2);
        let Some(last) = page.last() else { break };
        after.clone_from(&last.subject);
        listed.extend(page.into_iter().map(|row| row.subject));
    }
    assert_eq!(listed, subjects);
}

#[derive(Serialize, Deserialize, Debug, PartialEq)]
struct Registered {
    name: String,
    plan: String,
}

const TYPE: EventType = EventType::new("customer.registered", 1, &[]);

impl Event for Registered {
    const TYPES: &'static [EventType] = &[TYPE];

    fn event_type(&self) -> &'static EventType {
        &Self::TYPES[0]
    }

    fn encode(&self, codec: Codec) -> Result<Vec<u8>, BoxError> {
        codec.encode(self)
    }

    fn personal(&self, codec: Codec) -> Result<Vec<Personal>, BoxError> {
        Ok(vec![Personal::new("name", &"ada", &"somebody", codec)?])
    }

    fn decode_all(recorded: &RecordedEvent) -> Result<Decoded<Self>, DecodeError> {
        __private::decode(recorded, &TYPE, &[])
    }
}

/// A person who is forgotten is so: whoever reads gets the fallback. Answers with what must be in no byte of the store and of the keys
/// afterwards, once they are cleaned: what was personal, and the wrapped key.
pub async fn who_is_forgotten_is_gone(
    store: impl EventStore + Clone,
    keys: impl KeyStore + Clone,
) -> Vec<Vec<u8>> {
    const NAME: &str = "Augusta Ada King, Countess of Lovelace";
    let vault = Vault::new(store.clone(), keys.clone(), MasterKey::generate("master"));
    let stream: StreamId = "customer/1".parse().expect("a good name");
    let event = || Registered { name: NAME.into(), plan: "gold".into() };
    for expected in [Expected::NoStream, Expected::Exists] {
        let new = NewEvent::encode(&event(), Codec::Json, Metadata::default()).expect("it is plain");
        vault.append(Append::to(stream.clone(), expected, vec![new])).await.expect("it is appended");
    }
    let read = async || {
        let page = vault.read_stream(ReadStream::new(stream.clone())).await.expect("it is read");
        page.events.iter().map(|event| Registered::decode(event).expect("it is opened")).collect::<Vec<_>>()
    };
    assert_eq!(read().await, [event(), event()]);
    let wrapped = of(&keys, &["ada"]).await.remove(0).key.expect("there is a key");

    assert_eq!(vault.forget("ada").await.expect("it is forgotten"), std::slice::from_ref(&stream));
    let forgotten = || Registered { name: "somebody".into(), plan: "gold".into() };
    assert_eq!(read().await, [forgotten(), forgotten()]);
    assert_eq!(of(&keys, &["ada"]).await[0].key, None);
    let sealed = store.read_stream(ReadStream::new(stream)).await.expect("it is read").events;
    let codecs: BTreeSet<_> = sealed.iter().map(|event| &*event.codec).collect();
    assert_eq!(codecs, BTreeSet::from(["json+sealed"]));
    vec![NAME.into(), NAME[..12].into(), wrapped.bytes]
}

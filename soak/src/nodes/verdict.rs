//! The verdict on a run of nodes: whether what they counted is what the log holds.

use std::collections::{BTreeMap, HashSet};

use factum_core::{Partition, RecordedEvent};

use super::tally::{Counted, PartitionRow, Rows, StreamRow};
use super::{PARTITIONS, TALLY};

/// How many differences are told.
const TOLD_MAX: usize = 5;

/// What is to be counted: the log, folded by a program that nobody kills.
pub(crate) fn expected(log: &[RecordedEvent]) -> anyhow::Result<Rows> {
    let mut streams: BTreeMap<&str, StreamRow> = BTreeMap::new();
    let mut partitions: BTreeMap<i64, PartitionRow> = BTreeMap::new();
    let all: Vec<_> = Partition::all(TALLY, PARTITIONS).collect();
    for event in log {
        let Counted { value } = factum_core::Event::decode(event)?;
        let name = event.stream.as_str();
        let row = streams.entry(name).or_insert_with(|| StreamRow {
            stream: name.to_owned(),
            events: 0,
            version: 0,
            checksum: 0,
        });
        row.events += 1;
        row.version = i64::try_from(event.version.0)?;
        row.checksum += i64::from(value);
        let partition = all.iter().find(|partition| partition.has(&event.stream));
        let partition = i64::from(partition.expect("each stream has one").index());
        let row = partitions.entry(partition).or_insert(PartitionRow { partition, events: 0, token: 0 });
        row.events += 1;
    }
    let (streams, partitions) = (streams.into_values().collect(), partitions.into_values().collect());
    Ok(Rows { streams, partitions, disorder: Vec::new() })
}

/// Whether nodes have counted just that. Says what they have not.
pub(crate) fn judge(expected: &Rows, counted: &Rows) -> Result<(), String> {
    let mut wrong = Vec::new();
    if let Some(first) = counted.disorder.first() {
        wrong.push(format!("{} times the order was wrong: {first}", counted.disorder.len()));
    }
    let streams = |rows: &Rows| rows.streams.iter().cloned().map(|row| (row.stream.clone(), row)).collect();
    compare("stream", &streams(expected), &streams(counted), |one, other| one == other, &mut wrong);
    // Which leases there were is the affair of the run; that they never went back, the nodes have looked themselves.
    let partitions = |rows: &Rows| rows.partitions.iter().cloned().map(|row| (row.partition, row)).collect();
    let is_same = |one: &PartitionRow, other: &PartitionRow| one.events == other.events;
    compare("partition", &partitions(expected), &partitions(counted), is_same, &mut wrong);
    if wrong.is_empty() {
        return Ok(());
    }
    let others = wrong.len().saturating_sub(TOLD_MAX);
    wrong.truncate(TOLD_MAX);
    Err(format!("{}; and {others} more", wrong.join("; ")))
}

fn compare<K: Ord + std::fmt::Display, R: std::fmt::Debug>(
    what: &str,
    expected: &BTreeMap<K, R>,
    counted: &BTreeMap<K, R>,
    is_same: impl Fn(&R, &R) -> bool,
    wrong: &mut Vec<String>,
) {
    for (key, row) in expected {
        match counted.get(key) {
            Some(other) if is_same(row, other) => {}
            other => wrong.push(format!("{what} {key}: {other:?} was counted, and {row:?} is there")),
        }
    }
    for key in counted.keys().filter(|key| !expected.contains_key(key)) {
        wrong.push(format!("{what} {key} was counted and is not there"));
    }
}

/// Whether everything was seen at least once: what is counted twice changes no more by waiting.
pub(crate) fn is_caught_up(expected: &Rows, counted: &Rows) -> bool {
    let reached: HashSet<_> = counted.streams.iter().map(|row| (&row.stream, row.version)).collect();
    expected.streams.iter().all(|row| reached.contains(&(&row.stream, row.version)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Rows {
        let stream = |name: &str, events| StreamRow {
            stream: name.to_owned(),
            events,
            version: events,
            checksum: 10 * events,
        };
        let partition = |partition, events| PartitionRow { partition, events, token: 0 };
        Rows {
            streams: vec![stream("counted/1", 2), stream("counted/2", 3)],
            partitions: vec![partition(3, 2), partition(5, 3)],
            disorder: Vec::new(),
        }
    }

    #[test]
    fn what_was_counted_once_is_right_under_whichever_lease() {
        let mut counted = rows();
        counted.partitions[0].token = 17;

        assert_eq!(judge(&rows(), &counted), Ok(()));
    }

    #[test]
    fn whatever_else_was_counted_is_wrong() {
        let ways: [fn(&mut Rows); 9] = [
            |rows| rows.streams[0].events += 1,
            |rows| rows.streams[0].events -= 1,
            |rows| rows.streams[1].version -= 1,
            |rows| rows.streams[1].checksum += 1,
            |rows| rows.streams.truncate(1),
            |rows| rows.streams.push(StreamRow { stream: "counted/3".into(), ..rows.streams[0].clone() }),
            |rows| rows.partitions[1].events += 1,
            |rows| rows.partitions.truncate(1),
            |rows| rows.disorder.push("counted/1: version 2 after Some(2)".into()),
        ];
        for (number, way) in ways.into_iter().enumerate() {
            let mut counted = rows();
            way(&mut counted);

            assert!(judge(&rows(), &counted).is_err(), "way number {number}");
        }
    }
}

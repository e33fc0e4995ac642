//! Which node does which part of a subscription's work: the rule is in core, and Postgres is the arbiter.
//!
//! A heartbeat is two statements, and none of them holds a lock when the node is paused between the two: the first reads, the
//! second writes what has not changed meanwhile.

use std::collections::BTreeMap;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use factum_core::{Heartbeat, Held, Leases, NodeId, Roster, Share, StoreError};
use uuid::Uuid;

use crate::PostgresStore;
use crate::checkpoint::{check_partitions, index};
use crate::error::Fault;
use crate::row::{column, number};

const BEAT: &str = "share";
const LEAVE: &str = "leave";

#[async_trait]
impl Leases for PostgresStore {
    async fn beat(&self, heartbeat: Heartbeat) -> Result<Share, StoreError> {
        let database = self.database();
        let mut lease = database.lease(BEAT).await?;
        let Heartbeat { subscription, partitions, node, .. } = &heartbeat;
        let rows = loop {
            let rows = sqlx::query_file!("src/sql/roster.sql", subscription, index(*partitions))
                .fetch_all(&mut *lease);
            let rows = database.within(BEAT, rows).await?;
            // Where another node has just made the partitions, this statement may see neither its own nor theirs.
            if rows.iter().any(|row| row.index.is_some()) {
                break rows;
            }
        };
        let mut before = Roster::default();
        let mut held = BTreeMap::new();
        let mut now: Option<DateTime<Utc>> = None;
        for row in &rows {
            now = Some(row.now);
            let by = row.node.map(NodeId).zip(row.until);
            match (row.index, row.partitions) {
                (Some(index), Some(found)) => {
                    check_partitions(found, *partitions, BEAT)?;
                    held.insert(index, Held { token: row.token.map_or(0, number), by });
                }
                _ => before.nodes.extend(by),
            }
        }
        let now = now.ok_or_else(|| Fault::Unconfirmed.during(BEAT))?;
        before.partitions =
            (0..index(*partitions)).map(|index| held.remove(&index).unwrap_or_default()).collect();

        let mut after = before.clone();
        let mut share = after.beat(&heartbeat, now);
        let changes: Vec<_> = (0..)
            .zip(before.partitions.iter().zip(&after.partitions))
            .filter(|(_, (before, after))| before != after)
            .collect();
        let node_of = |held: &Held| held.by.map(|(node, _)| node.0);
        let until_of = |held: &Held| held.by.map(|(_, until)| until);
        let written = sqlx::query_file!(
            "src/sql/share.sql",
            subscription,
            node.0,
            after.nodes[node],
            &changes.iter().map(|(index, _)| *index).collect::<Vec<i32>>(),
            &changes.iter().map(|(_, (before, _))| column(before.token)).collect::<Vec<i64>>(),
            &changes.iter().map(|(_, (before, _))| node_of(before)).collect::<Vec<_>>() as &[Option<Uuid>],
            &changes.iter().map(|(_, (before, _))| until_of(before)).collect::<Vec<_>>()
                as &[Option<DateTime<Utc>>],
            &changes.iter().map(|(_, (_, after))| column(after.token)).collect::<Vec<i64>>(),
            &changes.iter().map(|(_, (_, after))| node_of(after)).collect::<Vec<_>>() as &[Option<Uuid>],
            &changes.iter().map(|(_, (_, after))| until_of(after)).collect::<Vec<_>>()
                as &[Option<DateTime<Utc>>],
        )
        .fetch_all(&mut *lease);
        let written: Vec<i32> =
            database.within_commit(BEAT, written).await?.into_iter().map(|row| row.partition).collect();
        lease.commit(database, BEAT).await?;
        lease.put_back();
        // Somebody else was faster with the others: they are not this node's, or the next heartbeat says that they still are.
        share.leases.retain(|lease| {
            let place = index(lease.partition.index());
            !changes.iter().any(|(index, _)| *index == place) || written.contains(&place)
        });
        Ok(share)
    }

    async fn leave(&self, subscription: &str, node: NodeId) -> Result<(), StoreError> {
        let left = sqlx::query_file!("src/sql/leave.sql", subscription, node.0);
        self.database().changing(LEAVE, left).await.map(drop)
    }
}

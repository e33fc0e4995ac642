//! Which node does which part of a subscription's work: the rule is in core, and the file is the arbiter.

use async_trait::async_trait;
use chrono::{SubsecRound, Utc};
use factum_core::{Heartbeat, Leases, NodeId, Roster, Share, StoreError};
use serde_json::json;

use crate::SqliteStore;
use crate::checkpoint::check_partitions;
use crate::row;
use crate::script::Values;
use crate::writer::Writer;

const BEAT: &str = "share";
const LEAVE: &str = "leave";

#[async_trait]
impl Leases for SqliteStore {
    /// By the clock of the machine, which all processes that share the file have in common.
    async fn beat(&self, heartbeat: Heartbeat) -> Result<Share, StoreError> {
        let database = self.database();
        database.check_schema(BEAT).await?;
        let mut writer = Writer::acquire(&database.writer, BEAT).await?;
        let outcome = async {
            let values = Values::default().and(&*heartbeat.subscription).and(i64::from(heartbeat.partitions));
            let answers = match writer.run(include_str!("sql/roster.sql"), values.done()).await {
                Ok(answers) => answers,
                Err(fault) => return Err(database.explain(BEAT, fault.error).await),
            };
            let mut roster = Roster::default();
            for row in answers.get(2).into_iter().flatten() {
                let (found, held) = row::held(row)?;
                check_partitions(found, heartbeat.partitions, BEAT)?;
                roster.partitions.push(held);
            }
            for row in answers.get(3).into_iter().flatten() {
                roster.nodes.extend([row::node(row)?]);
            }
            let share = roster.beat(&heartbeat, Utc::now().trunc_subsecs(6));
            let partitions: Vec<_> = roster.partitions.iter().map(|held| {
                let node = held.by.map(|(node, _)| node.0.simple().to_string());
                json!({ "token": held.token, "node": node, "until": held.by.map(|(_, until)| until.timestamp_micros()) })
            }).collect();
            let nodes: Vec<_> = roster.nodes.iter().map(|(node, until)| {
                json!({ "node": node.0.simple().to_string(), "until": until.timestamp_micros() })
            }).collect();
            let values = Values::default()
                .and(&*heartbeat.subscription)
                .and(json!(partitions).to_string())
                .and(json!(nodes).to_string())
                .done();
            match writer.run(include_str!("sql/share.sql"), values).await {
                Ok(_) => Ok(share),
                Err(fault) => Err(database.explain_commit(BEAT, fault.error).await),
            }
        }
        .await;
        match outcome {
            Ok(share) => {
                writer.ended();
                Ok(share)
            }
            Err(error) => {
                writer.abandon().await;
                Err(error)
            }
        }
    }

    async fn leave(&self, subscription: &str, node: NodeId) -> Result<(), StoreError> {
        self.database().check_schema(LEAVE).await?;
        let values = Values::default().and(subscription).and(&node.0.as_bytes()[..]).done();
        self.database().write(LEAVE, include_str!("sql/leave.sql"), values).await.map(drop)
    }
}

//! `NOUN get` and `NOUN list`: the same list as `get`.

use kubectl_aegis::view::Kind;

use super::get::List;
use crate::cluster::ClusterArgs;
use crate::failure::{Failure, Kind as FailureKind};

/// Lists objects of that kind.
pub(super) async fn of(cluster: &ClusterArgs, kind: &str, names: &[String], list: &List) -> anyhow::Result<()> {
    let kind = Kind::parse(kind).ok_or_else(|| Failure::new(FailureKind::Usage, format!("there are no {kind}")))?;
    let names: Vec<String> = names.iter().map(|name| name.rsplit('/').next().unwrap_or_default().to_owned()).collect();
    list.run(cluster, kind, &names).await
}

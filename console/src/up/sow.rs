//! Brings the catalog to what a seed says: adds what is missing, corrects what differs,
//! removes nothing. Running it again changes nothing.

use crate::{
    config::Seed,
    exit::{Failure, Reason, chain},
};
use shardline_meta_client::MetaClient;
use shardline_model::{catalog::User, change::Change};
use shardline_wire::auth::Verifiers;

/// Proposes what is missing.
pub async fn sow(meta: &MetaClient, seed: &Seed) -> Result<(), Failure> {
    for change in changes(&meta.catalog(), seed)? {
        meta.propose(change).await.map_err(|error| {
            Failure::new(Reason::Failed, format!("writing the first catalog: {}", chain(&error)))
        })?;
    }
    Ok(())
}

/// The changes from a catalog to a seed.
fn changes(
    catalog: &shardline_model::catalog::Catalog,
    seed: &Seed,
) -> Result<Vec<Change>, Failure> {
    let mut changes = Vec::new();
    if catalog.cluster != seed.cluster {
        changes.push(Change::SetCluster { name: seed.cluster.clone() });
    }
    for wanted in &seed.shards {
        let (name, primary) = (wanted.name.clone(), wanted.primary.clone());
        let replicas = wanted.replicas.clone();
        match catalog.shard_named(&wanted.name) {
            None if wanted.unsown => {}
            None => changes.push(Change::AddShard { name, primary, replicas }),
            Some(shard) if shard.primary != primary || shard.replicas != replicas => {
                changes.push(Change::UpdateShard { id: shard.id, name, primary, replicas });
            }
            Some(_) => {}
        }
    }
    if let Some(rules) = &seed.rules
        && catalog.rules != *rules
    {
        changes.push(Change::SetRules(rules.clone()));
    }
    for wanted in &seed.users {
        let password = wanted.password.as_bytes();
        let same = catalog.users.get(&wanted.name).is_some_and(|user| match password {
            [] => user.native_verifier.is_empty(),
            _ => user.native_verifier == shardline_wire::auth::scramble::native_verifier(password),
        });
        if !same {
            changes.push(Change::PutUser(user(&wanted.name, password)?));
        }
    }
    Ok(changes)
}

/// A user with the verifiers of a password.
fn user(name: &str, password: &[u8]) -> Result<User, Failure> {
    let verifiers = Verifiers::of_password(password)
        .map_err(|error| Failure::new(Reason::Failed, chain(&error)))?;
    let (native_verifier, sha2_verifier) = match verifiers {
        Verifiers::Empty => (Vec::new(), String::new()),
        Verifiers::Password { native, sha2 } => {
            (native.to_vec(), String::from_utf8_lossy(&sha2.text()).into_owned())
        }
    };
    Ok(User { name: name.to_owned(), native_verifier, sha2_verifier })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::seed::{SeedShard, SeedUser};
    use shardline_model::catalog::{Catalog, ServerAddress};

    fn seed(port: u16) -> Seed {
        let primary = ServerAddress { host: "127.0.0.1".into(), port, socket: None };
        Seed {
            cluster: "bank".into(),
            shards: vec![SeedShard {
                name: "s1".into(),
                primary,
                replicas: Vec::new(),
                unsown: false,
            }],
            rules: None,
            users: vec![
                SeedUser { name: "root".into(), password: String::new() },
                SeedUser { name: "app".into(), password: "secret".into() },
            ],
        }
    }

    #[test]
    fn a_second_sowing_changes_nothing_and_a_moved_server_is_corrected() {
        let mut catalog = Catalog::default();
        let first = changes(&catalog, &seed(4311)).expect("changes");
        assert_eq!(first.len(), 4);
        for change in first {
            catalog.apply(&change).expect("valid");
        }
        assert_eq!(changes(&catalog, &seed(4311)).expect("changes"), []);
        let moved = changes(&catalog, &seed(4399)).expect("changes");
        assert!(matches!(moved.as_slice(), [Change::UpdateShard { .. }]), "{moved:?}");
    }
}

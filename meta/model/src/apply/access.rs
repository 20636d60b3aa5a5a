//! Changes of who may do what, and notes of what was done.

use super::{check_name, exists, limit, unknown};
use crate::{
    access::{Access, ApiToken, AuditNote, ConsoleUser},
    audit::AUDIT_TEXT_BYTES_MAX,
    catalog::Catalog,
    change::{CONSOLE_USERS_MAX, ChangeError, NAME_CHARS_MAX, TOKENS_MAX},
    id::Epoch,
};
use std::sync::Arc;

/// The longest hash of a password, in bytes.
const HASH_BYTES_MAX: usize = 256;

impl Catalog {
    pub(super) fn put_console_user(&mut self, user: &ConsoleUser) -> Result<(), ChangeError> {
        check_name("user", &user.name)?;
        limit("bytes in the hash of a password", user.password_hash.len(), HASH_BYTES_MAX)?;
        let since = Epoch(self.epoch.0 + 1);
        let users = &mut self.access_mut().users;
        users.insert(user.name.clone(), Arc::new(ConsoleUser { since, ..user.clone() }));
        limit("users of the console", users.len(), CONSOLE_USERS_MAX)
    }

    pub(super) fn drop_console_user(&mut self, name: &str) -> Result<(), ChangeError> {
        let access = self.access_mut();
        access.users.remove(name).ok_or_else(|| unknown("user", name))?;
        access.tokens.retain(|_, token| token.user != name);
        Ok(())
    }

    pub(super) fn put_token(&mut self, token: &ApiToken) -> Result<(), ChangeError> {
        check_name("token", &token.name)?;
        check_name("token", &token.id)?;
        let access = self.access_mut();
        if !access.users.contains_key(&token.user) {
            return Err(unknown("user", &token.user));
        }
        if access.tokens.contains_key(&token.id) {
            return Err(exists("token", &token.id));
        }
        access.tokens.insert(token.id.clone(), Arc::new(token.clone()));
        limit("tokens", access.tokens.len(), TOKENS_MAX)
    }

    pub(super) fn drop_token(&mut self, id: &str) -> Result<(), ChangeError> {
        let tokens = &mut self.access_mut().tokens;
        tokens.remove(id).map(|_| ()).ok_or_else(|| unknown("token", id))
    }

    pub(super) fn note_audit(&mut self, note: &AuditNote) -> Result<(), ChangeError> {
        let short = [&note.user, &note.via, &note.source, &note.operation, &note.request];
        for text in short {
            limit("bytes in a text of a note", text.len(), 4 * NAME_CHARS_MAX)?;
        }
        let long =
            [Some(&note.target), note.before.as_ref(), note.after.as_ref(), Some(&note.detail)];
        for text in long.into_iter().flatten() {
            limit("bytes in a text of a note", text.len(), AUDIT_TEXT_BYTES_MAX)?;
        }
        Arc::make_mut(&mut self.access_mut().audit).push(note.clone());
        Ok(())
    }

    fn access_mut(&mut self) -> &mut Access {
        Arc::make_mut(&mut self.access)
    }
}

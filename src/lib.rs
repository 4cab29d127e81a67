//! wip
pub mod args;
pub mod http;
pub mod ledger;
pub mod server;
pub mod site;

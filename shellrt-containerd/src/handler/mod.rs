//! One handler per message.

pub mod attach;
pub mod create;
pub mod events;
pub mod exec;
pub mod health;
pub mod img_list;
pub mod img_pull;
pub mod img_remove;
pub mod list;
pub mod logs;
pub mod prune;
pub mod remove;
pub mod restart;
pub mod start;
pub mod status;
pub mod stop;
pub mod sys_info;
pub mod top;
pub mod version;
pub mod wait;

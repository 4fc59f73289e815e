//! Every test that needs real servers, but for the case folders: one program, so that it is linked
//! once and its tests run side by side. A file is a theme: `cargo test -p altergeist-integration
//! --test suite -- traps::`.

mod black_hole;
mod comparison;
mod conformance;
mod connecting;
mod conversions;
mod cut_over;
mod definitions;
mod foreign_keys;
mod gates;
mod indexes;
mod killed;
mod late_acknowledgement;
mod log;
mod log_ends;
mod migration;
mod mysql_leftovers;
mod mysql_meanwhile;
mod native;
mod postgres_connecting;
mod postgres_cut_over;
mod postgres_dependents;
mod postgres_log;
mod postgres_meanwhile;
mod postgres_objects;
mod postgres_pooler;
mod postgres_privileges;
mod postgres_settings;
mod postgres_shadow_written;
mod postgres_strangers;
mod prepared;
mod privileges;
mod quiet;
mod refresh;
mod refusals;
mod replica_lag;
mod servers;
mod settings;
mod shadow_writers;
mod stalled_commit;
mod statistics;
mod steering;
mod traps;
mod triggers;
mod unheard;

//! What runs inside backup, restore and maintenance Jobs.

pub mod trigger;

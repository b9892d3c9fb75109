//! The only printer: streams, formats, tables, colours, human units.

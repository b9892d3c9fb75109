//! Pure decisions: facts and the time go in, decisions come out.

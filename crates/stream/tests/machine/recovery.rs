use crate::transcript::check;

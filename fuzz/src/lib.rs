//! What the fuzz targets check: `split` what holds for every parser; `world` carries `steps` out on an engine beside
//! `model`.

pub mod limits;
pub mod model;
pub mod split;
pub mod steps;
pub mod world;

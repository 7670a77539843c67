//! The font of all pictures. They bring their own: none of the system's is needed.

use anyhow::{Result, anyhow};
use plotters::style::{FontStyle, register_font};

/// What it is called in `plotters`.
pub const NAME: &str = "built-in";

/// To be called before the first text.
pub fn register() -> Result<()> {
    register_font(NAME, FontStyle::Normal, epaint_default_fonts::UBUNTU_LIGHT)
        .map_err(|_| anyhow!("the built-in font is damaged"))
}

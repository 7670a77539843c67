//! The stand-alone program, for listening and for looking at the editor without a host.

fn main() {
    if !nice_plug::nice_export_standalone::<underscore::Underscore>() {
        std::process::exit(1);
    }
}

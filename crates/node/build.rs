//! What every Node-API library needs of its linker.

fn main() {
    napi_build::setup();
}

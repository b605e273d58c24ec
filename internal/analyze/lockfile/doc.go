// Package lockfile reads what applications ask for: lock files and the few
// manifests that state versions. Every package of them is declared: listed, not
// counted and not matched, because nothing proves that it is in the image; what is
// installed speaks for itself to another analyser.
//
// Each format follows the program that writes it: npm, Yarn (1 and later), pnpm,
// Bun; pip, Pipenv, Poetry, uv, PDM and the pylock.toml of PEP 751; Bundler; Go;
// Cargo; Composer; NuGet; Maven and Gradle; Mix and Rebar3; the Swift package
// manager; Conan 1 and 2. Where a file is written by a machine in one form only
// (TOML of Cargo, YAML of pnpm) its lines are read, not the whole language.
//
// The lock file of a dependency (beneath node_modules, site-packages, a module
// cache …) is ignored by the program that installs the dependency, and here.
package lockfile

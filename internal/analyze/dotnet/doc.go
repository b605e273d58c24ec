// Package dotnet finds the NuGet packages of .NET applications and frameworks.
//
// NAME.deps.json is written by the SDK when an application is published, and
// lies in the directory of each shared framework (the "runtime configuration
// files" page of the .NET SDK documentation describes it). It names every
// library with the exact version of its package, and the files that the library
// brings. A library of the type "project" is the application itself or a part of
// it. One that brings no file at all (a package that only refers to others, an
// analyser of source code) is declared.
//
// Assemblies (.dll and .exe with a CLR header, ECMA-335 partition II) name
// themselves: the name stands in the Assembly table, the version of the package,
// as a rule, in the product version of the version resource. Satellite
// assemblies (NAME.resources.dll) and reference assemblies (in a directory
// "ref") hold no code and are left alone.
//
// Most assemblies lie beside a deps.json that lists them. So that none counts
// twice, a deps.json claims its files as report.Ownership of "nuget:NAME", and
// the merge drops what stands claimed; a library of which no file is there is
// declared.
//
// An application published as a single file (since .NET 5) is the program that
// starts it with everything else appended: the program's data holds the offset of
// a header before a fixed signature, and the header says where the deps.json lies
// (the "single-file bundler" design of the .NET runtime). Of its libraries those
// that bring files are inside.
package dotnet

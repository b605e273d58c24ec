package oracle

// packageRules explain differences from syft's package lists.
var packageRules = []Rule{}

// findingRules explain differences from grype's findings.
var findingRules = []Rule{}

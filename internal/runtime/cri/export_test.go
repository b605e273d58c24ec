package cri

// ParseBoth decodes b as the answer to either call.
func ParseBoth(b []byte) {
	_, _ = parsePods(b)
	_, _ = parseContainers(b)
}

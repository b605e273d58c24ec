package containerd

// HideRoots makes s read as from a place where the data root of the daemon
// cannot be seen.
func (s *Source) HideRoots() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.roots = &roots{}
}

// AddRemote makes s read as where the daemon has a snapshotter of another
// maker.
func (s *Source) AddRemote(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.roots.remote = append(s.roots.remote, name)
}

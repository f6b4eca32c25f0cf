"""Episodes: actions, views, agents, the rules, and playing many at once."""

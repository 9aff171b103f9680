"""Changes that an operator makes: orgs, contracts, encryption keys, the schema. New orgs are `onboarding`'s."""

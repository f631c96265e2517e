"""Where each case goes: rules, what holds automatic cases back, validation, replay."""

"""Messages about alerts: who gets them, in what words, and how they are delivered."""

"""What the bot says: answers in threads and for one person's eyes, and the blocks they are made of."""

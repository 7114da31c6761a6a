"""Where reports are taken to: tickets, chats and pagers. One module for each, behind one door."""

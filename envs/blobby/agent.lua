-- The script of a side that an agent plays: the game calls it, the adapter moves the blob.
function OnServe(ball_ready) end
function OnOpponentServe() end
function OnGame() end
